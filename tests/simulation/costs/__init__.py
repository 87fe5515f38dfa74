"""What the service costs: operations of the store as Firestore bills them, and commands of Redis, event by event.

`table` has the expectations, `cases` the events, `measuring` how one is measured, `counting` what counts, `page` the section of
`docs/operating.md` that is made of the table.
"""
