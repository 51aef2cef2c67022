"""Face detectors behind one Protocol and one registry."""
