"""Take clips out of a prepared dataset in the formats of other projects."""
