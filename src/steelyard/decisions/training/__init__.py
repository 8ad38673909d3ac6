"""Training: from data to frozen scorecards and models with their cards; needs the extra `ml`."""
