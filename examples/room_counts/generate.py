#!/usr/bin/env python3
"""Made-up observations of rooms, one JSON object a line, or what becomes of them.

    generate.py COUNT [SEED]               print COUNT messages
    generate.py --expected COUNT [SEED]    print what result.sql finds after them

The observations are of the seven days from 2024-02-05 on, one after the other
and round again.  The same seed gives the same messages, and fewer of them are
the first of more.
"""

import json
import sys
from collections import Counter
from datetime import datetime, timedelta, timezone
from hashlib import md5
from random import Random

ROOMS = [f'{building}.{floor:02}.{room:02}' for building in 'ABC' for floor in range(4) for room in range(10)]
ROOMS += ['Küche', 'Sala de reuniões "Norte"', 'back\\office', '会議室']
BEGIN = datetime(2024, 2, 5, tzinfo=timezone.utc)


def observations(count, seed):
    """Yields (message, room, number, day): the text, and what it says."""
    rand = Random(seed)
    for n in range(count):
        room = rand.choice(ROOMS)
        number = rand.randrange(30)
        # near midnight too; in any time zone
        at = BEGIN + timedelta(days=n % 7, milliseconds=rand.choice((0, 86399999, rand.randrange(86400000))))
        zone = timezone(timedelta(hours=rand.choice((0, 0, 2, -8))))
        said = at.astimezone(zone).isoformat(timespec='milliseconds')
        # jsonb would keep neither order nor blanks
        message = {'room': room, 'count': number, 'observed_at': said}
        if n % 3 == 0:
            message = {'observed_at': said, 'count': number, 'room': room, 'sensor': {'battery': 0.50}}
        text = json.dumps(message, ensure_ascii=bool(n % 2), separators=(',', ':') if n % 5 == 0 else (', ', ':  '))
        yield text, room, number, at.strftime('%Y%m%d')


def print_expected(count, seed):
    sums = Counter()
    days = Counter()
    total = 0
    for text, room, number, day in observations(count, seed):
        sums[room] += number
        days[day] += 1
        total += int(md5(text.encode()).hexdigest()[:15], 16)
    for counter in (sums, days):
        for name in sorted(counter):
            print(f'{name}|{counter[name]}')
    print(f'archive|{count}|{total}')


def main(args):
    expected = '--expected' in args
    numbers = [int(arg) for arg in args if arg != '--expected']
    if not 1 <= len(numbers) <= 2:
        sys.exit(__doc__)
    count, seed = (numbers + [1])[:2]
    sys.stdout.reconfigure(encoding='utf-8', newline='\n')
    if expected:
        print_expected(count, seed)
    else:
        for text, _, _, _ in observations(count, seed):
            print(text)


if __name__ == '__main__':
    main(sys.argv[1:])
