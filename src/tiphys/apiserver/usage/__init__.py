"""``metrics.k8s.io``: what nodes and containers use now, as ``kubectl top`` and autoscalers read it."""
