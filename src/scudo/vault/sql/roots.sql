-- root_permission: whether two people decide on a new root, and what this approval of theirs says
SELECT needs_two, replaced, shares, threshold, token, given_at
FROM vault.root_permission(%(approval)s);
