"""Who is asking: certificates, tokens, service accounts, impersonation."""
