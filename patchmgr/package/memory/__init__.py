"""The bundle of a memory package: what it remembers, how it is asked, and the files that answering needs.

Glossary: an *operation* adds, replaces or takes away one entry; the *entries* are what all operations leave, in the
order in which they came; the *runtime* is the plugin that answers with them; a bundle of *level* ``text`` rewrites or
hands over texts and works on any base, one of level ``hidden`` touches activations and is bound to its base.
"""
