"""The shard format: names, staging, writer, reader and sidecar."""
