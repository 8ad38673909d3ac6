"""Identity providers: one file for each way of asking who somebody is."""
