"""`reminders demo`: web, worker and a pretend Twilio as processes of their own, on a throw-away database.

Two dozen invented patients on real programs, a day in two minutes: each shows one way in which a text can end. Their
plans are entered one after another, as a coordinator would; everything after that is the service itself at work.
"""
