"""Pictures for people: overlays, contact sheets, the report page."""
