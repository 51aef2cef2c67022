"""Who runs the steps of `prepare`: this process, worker processes or a Ray cluster, and the crew that replaces them."""
