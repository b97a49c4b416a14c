#!/usr/bin/env python3
"""Made-up user sessions, one JSON object a line, or their checksum.

    generate.py COUNT [SEED]               print COUNT messages
    generate.py --checksum COUNT [SEED]    print "COUNT|CHECKSUM" of the same messages

The checksum is the one that checksum.sql computes from the table: the sum,
over all messages, of the first 15 hex digits of the MD5 of their values. It
does not depend on the order.  The same seed gives the same messages.
"""

import json
import sys
from datetime import date, datetime, timedelta
from hashlib import md5
from random import Random

FIRST_NAMES = """Anna Björn Carmen Dmitri Élodie Fatima Grzegorz Hana Ingrid Jamal Katarína Łukasz
Miguel Nadia Olivier Priya Quinn Rosalía Siobhán Tomáš Uma Věra Walter Ximena Yusuf Zoë""".split()
LAST_NAMES = """Andersson Bauer Čapek D'Angelo Eriksen Fernández García Hoffmann Ivanova Jansen
Kowalska Lefèvre Müller Nguyễn O'Brien Pereira Quispe Rossi Smith Tanaka Ünal Vos Weiß Yamada
Zieliński 李""".split()
STREETS = """Oak Street|Rue de l'Église|Hauptstraße|Via Roma|Calle Mayor|Ulica Długa|"Old Mill" Lane|
King's Road|Storgatan|C:\\Park Avenue""".replace('\n', '').split('|')
CITIES = ['Zürich', 'Springfield', 'Kraków', 'São Paulo', 'Malmö', 'Cork', 'Lyon', 'Graz', '東京', 'Porto']
DOMAINS = ['example.com', 'example.org', 'mail.example.net']
COUNTRIES = ['GB', 'DE', 'FR', 'CH', 'PL', 'SE']

EPOCH = datetime(2024, 1, 1)
FIRST_BIRTH = date(1940, 1, 1)
BIRTH_DATES = [(FIRST_BIRTH + timedelta(days=n)).isoformat() for n in range(24000)]
DAYS = [(EPOCH + timedelta(days=n)).strftime('%Y-%m-%d') for n in range(60)]


def both(words):
    """Each word as it is and as it stands between a JSON string's quotes.

    Every second one has its non-ASCII characters escaped.
    """
    return [(word, json.dumps(word, ensure_ascii=bool(n % 2))[1:-1]) for n, word in enumerate(words)]


FIRST_NAMES, LAST_NAMES, STREETS, CITIES = map(both, (FIRST_NAMES, LAST_NAMES, STREETS, CITIES))


def sessions(count, seed):
    """Yields (message, text): the JSON, and what the checksum is made of."""
    random = Random(seed).random
    bits = Random(seed + 1).getrandbits
    for n in range(count):
        first, first_json = FIRST_NAMES[int(random() * 26)]
        last, last_json = LAST_NAMES[int(random() * 26)]
        street, street_json = STREETS[int(random() * 10)]
        city, city_json = CITIES[int(random() * 10)]
        r = bits(240)
        user = f'user{r & 0xffffff}'
        email = f'{user}@{DOMAINS[n % 3]}'
        r >>= 24
        personal = 10**9 + r % 9 * 10**9 + (r & 0x1fffffff)
        house = 1 + (r & 255)
        birth = BIRTH_DATES[int(random() * 24000)]
        phone = f'+44-{r & 0xfff:04}-{r >> 12 & 0xfffff:07}'
        r >>= 32
        mac = f'{r & 0xffffffffffff:012x}'
        mac = f'{mac[:2]}:{mac[2:4]}:{mac[4:6]}:{mac[6:8]}:{mac[8:10]}:{mac[10:]}'
        ip = f'{1 + (r & 127)}.{r >> 8 & 255}.{r >> 16 & 255}.{r >> 24 & 255}'
        iban = f'{COUNTRIES[n % 6]}{10 + r % 90}{r & 0x3fffffffffffff:018}'
        r >>= 56
        unique = f'{r & (1 << 128) - 1:032x}'
        unique = f'{unique[:8]}-{unique[8:12]}-{unique[12:16]}-{unique[16:20]}-{unique[20:]}'
        second = int(random() * 86400)
        accessed = f'{DAYS[n % 60]} {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{int(random() * 1e6):06}'
        duration = int(random() * 36001)
        download = int(random() * 1001)
        upload = int(random() * 801)
        traffic = int(random() * 2000001)
        quote = '"' if n & 1 else ''
        yield (
            f'{{"person_name": "{first_json} {last_json}", "user_name": "{user}", "email": "{email}", '
            f'"personal_number": {quote}{personal}{quote}, "birth_date": "{birth}", '
            f'"address": "{house} {street_json}\\n{city_json}", "phone_number": "{phone}", '
            f'"mac_address": "{mac}", "ip_address": "{ip}", "iban": "{iban}", "accessed_at": "{accessed}", '
            f'"session_duration": {duration}, "download_speed": {download}, "upload_speed": {upload}, '
            f'"consumed_traffic": {traffic}, "unique_id": "{unique}"}}\n',
            f'{first} {last}|{user}|{email}|{personal}|{birth}|{house} {street}\n{city}|{phone}|{mac}|{ip}|{iban}|'
            f'{accessed}|{duration}|{download}|{upload}|{traffic}|{unique}')


def main(args):
    checksum = '--checksum' in args
    numbers = [int(arg) for arg in args if arg != '--checksum']
    if not 1 <= len(numbers) <= 2:
        sys.exit(__doc__)
    count, seed = (numbers + [1])[:2]
    if checksum:
        total = sum(int(md5(text.encode()).hexdigest()[:15], 16) for _, text in sessions(count, seed))
        print(f'{count}|{total}')
    else:
        out = open(sys.stdout.fileno(), 'w', encoding='utf-8', newline='\n', buffering=1 << 20)
        out.writelines(message for message, _ in sessions(count, seed))
        out.flush()


if __name__ == '__main__':
    main(sys.argv[1:])
