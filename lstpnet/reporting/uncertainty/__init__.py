"""How sure figures and their differences are: intervals, units of resampling, paired tests."""
