"""The HTTP server: status for monitors, a page on which connections are made, and links that customers are sent.

Needs the extra ``serve``; ``paths`` alone does without.
"""
