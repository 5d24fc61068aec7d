"""What memory methods share: sentences as vectors, and the entries of a memory that lie nearest to a question.

Glossary: a *key* is the vector of an entry's prompt, a *query* that of a question; both have length 1, so that their
product is the cosine of the angle between them. A *hit* is an entry whose cosine is at least the threshold.
"""
