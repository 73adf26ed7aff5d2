"""The modes: small siblings of one protocol (`protocol.Mode`), a file each."""
