"""Signatures of packages: OpenSSF model-signing's, in ``model.sig`` (specified in ``docs/format.md``, section 10)."""
