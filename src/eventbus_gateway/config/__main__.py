"""``python -m eventbus_gateway.config`` prints the reference of all keys as Markdown."""

import sys

from eventbus_gateway.config.reference import reference

sys.stdout.write(reference())
