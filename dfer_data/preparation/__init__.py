"""`prepare`: request, plan, steps of a shard, workers, output folder, manifest."""
