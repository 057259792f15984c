"""Commands and folders in the form of other toolkits."""
