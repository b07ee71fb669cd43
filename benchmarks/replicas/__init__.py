"""Replicas behind a load balancer: what happens to requests when a replica goes."""
