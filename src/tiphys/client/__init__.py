"""How every component speaks to the API server: REST, informers, work queues, leader election."""
