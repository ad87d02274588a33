"""The pages for people, one module for each thing that someone comes to do."""
