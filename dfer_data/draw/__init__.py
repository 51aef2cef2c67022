"""Draw faces into images, contact sheets and annotated videos."""
