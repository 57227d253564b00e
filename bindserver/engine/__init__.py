"""The pure core: views, deltas, the ring, cursors, the protocol, sessions and outboxes.

Nothing in here imports Django, asyncio, a clock or randomness. The engine takes facts (rows that
were read, messages that arrived, the time) and returns values and effects; whoever has a socket or
a database performs them.
"""
