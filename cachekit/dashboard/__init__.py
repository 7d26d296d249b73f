"""The pages that staff see in the admin: what the caches do, what they hold, and how to take it away."""
