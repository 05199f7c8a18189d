"""The bank's decision service: one application layer under an HTTP and a gRPC interface."""
