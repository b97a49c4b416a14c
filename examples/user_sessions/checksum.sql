-- "rows|checksum" of the table, to compare with generate.py --checksum.
SELECT count(*),
       coalesce(sum(('x' || left(md5(concat_ws('|',
           person_name, user_name, email, personal_number,
           to_char(birth_date, 'YYYY-MM-DD'), address, phone_number,
           mac_address, host(ip_address), iban,
           to_char(accessed_at, 'YYYY-MM-DD HH24:MI:SS.US'),
           session_duration, download_speed, upload_speed, consumed_traffic,
           unique_id)), 15))::bit(60)::bigint), 0) AS checksum
  FROM streaming_layer.streaming_data;
