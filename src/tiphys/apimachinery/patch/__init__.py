"""The three patch formats that change an object in place of sending it whole."""
