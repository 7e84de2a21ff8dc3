"""How well does a job separate known stems?"""
