"""Labels that something contradicts: predictions of trained models, votes of annotators, or another label of a copy."""
