"""One file per format; each is an `organza.data.source.Source`."""
