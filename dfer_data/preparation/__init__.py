"""`prepare`: request, plan, the steps of a shard, who runs them, the output folder, the manifest."""
