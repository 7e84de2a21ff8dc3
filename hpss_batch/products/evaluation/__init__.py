"""How well does a job tell known stems apart?"""
