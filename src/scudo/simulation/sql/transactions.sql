-- describe: columns of the file and their types
DESCRIBE SELECT * FROM read_parquet($file);

-- check: what can be wrong with the rows of the file, and which row is the first that is
WITH numbered AS (
    SELECT file_row_number AS number, transaction_id, tx_datetime, customer_id, terminal_id,
        tx_amount_minor, tx_fraud, tx_fraud_scenario,
        lag(tx_datetime) OVER (ORDER BY file_row_number) AS earlier
    FROM read_parquet($file, file_row_number = true)
), judged AS (
    SELECT number, CASE
        WHEN transaction_id IS NULL OR tx_datetime IS NULL OR customer_id IS NULL
            OR terminal_id IS NULL OR tx_amount_minor IS NULL OR tx_fraud IS NULL
            OR tx_fraud_scenario IS NULL THEN 'a value is missing'
        WHEN tx_amount_minor < 0 THEN 'tx_amount_minor is negative'
        WHEN transaction_id < 0 OR customer_id < 0 OR terminal_id < 0 THEN 'an id is negative'
        WHEN NOT isfinite(tx_datetime) OR year(tx_datetime) NOT BETWEEN 1971 AND 9998
            THEN 'tx_datetime is out of range'
        WHEN tx_datetime < earlier THEN 'tx_datetime is before that of the row above'
        WHEN tx_fraud NOT IN (0, 1) OR tx_fraud_scenario NOT BETWEEN 0 AND 99
            OR (tx_fraud = 1) <> (tx_fraud_scenario > 0) THEN 'tx_fraud and its scenario disagree'
        END AS problem
    FROM numbered
)
SELECT (SELECT count(*) FROM numbered), (SELECT count(DISTINCT transaction_id) FROM numbered),
    min(number) FILTER (WHERE problem IS NOT NULL),
    arg_min(problem, number) FILTER (WHERE problem IS NOT NULL)
FROM judged;

-- identify: transaction ids of some rows
SELECT transaction_id FROM read_parquet($file, file_row_number = true)
WHERE file_row_number IN (SELECT unnest($rows)) ORDER BY file_row_number;

-- range: transaction ids of neighbouring rows
SELECT transaction_id FROM read_parquet($file, file_row_number = true)
WHERE file_row_number >= $start AND file_row_number < $stop ORDER BY file_row_number;

-- rows: transactions of neighbouring rows, in order
SELECT transaction_id, epoch_us(tx_datetime), customer_id, terminal_id, tx_amount_minor,
    tx_fraud_scenario
FROM read_parquet($file, file_row_number = true)
WHERE file_row_number >= $start AND file_row_number < $stop ORDER BY file_row_number;

-- instant: when the transaction of a row was made
SELECT epoch_us(tx_datetime) FROM read_parquet($file, file_row_number = true)
WHERE file_row_number = $row;

-- customers: who pays in neighbouring rows, and how much in all
SELECT customer_id, sum(tx_amount_minor)::BIGINT
FROM read_parquet($file, file_row_number = true)
WHERE file_row_number >= $start AND file_row_number < $stop
GROUP BY customer_id ORDER BY customer_id;

-- terminals: where neighbouring rows were paid
SELECT DISTINCT terminal_id FROM read_parquet($file, file_row_number = true)
WHERE file_row_number >= $start AND file_row_number < $stop ORDER BY terminal_id;
