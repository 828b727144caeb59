"""JSON to Avro and back, compiled per schema.

::

    text ── parse ──> schema ── shape, defaults ──> encoder, decoder ──> Codec
             │                                          │
           leaves, logical (times, decimals)         unions, source

``encode`` runs generated code that stops at the first misfit; ``explain`` then walks the event again for all faults.
"""

from eventbus_gateway.schemas.codec.compiled import Codec, compile_codec

__all__ = ["Codec", "compile_codec"]
