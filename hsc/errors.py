"""The one exception for problems that the user can mend."""


class HscError(Exception):
    """Bad input. The text names the file, key or value, what is wrong with it and what to do."""
