"""`reminders demo`: web, worker and a pretend Twilio in separate processes, on a throwaway database.

Two dozen invented patients are on real programs, a day in two minutes. Each shows one way in which a text can end. The
demo enters their plans one after another, as a coordinator would; the service itself does everything after that.
"""
