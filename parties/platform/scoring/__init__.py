"""The platform's scoring process: gRPC server, online store, consents, feature job."""
