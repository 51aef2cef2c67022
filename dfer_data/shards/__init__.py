"""The shard format: names, staging, writer, reader, sidecar."""
