"""Commands are run here as the tests of the command line run them."""

from command_line import refused, tirtune

__all__ = ["refused", "tirtune"]
