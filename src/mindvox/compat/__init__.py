"""Commands and folders as other toolkits have them."""
