-- newest_entries: the last entries of the log, as they are stored
SELECT position, command, events, answer FROM fabric.log_entry
ORDER BY position DESC
LIMIT %(limit)s;

-- newest_records: the last records
SELECT id, body FROM fabric.record
ORDER BY id DESC
LIMIT %(limit)s;
