"""Find copies of withdrawn clips outside of their prepared dataset, and rewrite or delete them."""
