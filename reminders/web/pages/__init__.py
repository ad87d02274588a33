"""The pages for people, one module for each thing that somebody comes to do."""
