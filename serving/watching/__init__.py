"""Requests of a served model compared with what it was validated on."""
