# SPDX-License-Identifier: Apache-2.0
"""Words that tell what a word of a log is: top-level domains, field names, plain words.

``is_domain`` says whether a dotted word is the name of a host; ``kind_of_key`` what a
field of that name holds (a user, a host, a secret …); ``is_plain_word`` which words
after "user" or "host" are no names.

It does NOT fetch a list of public suffixes: what is not here is learned from nobody.
An organisation names its own suffixes in ``Rules`` (redaction.py).

Rules that always hold: a word that could be a host's name and a file's name is a file's
only where the ending is far commoner as one (``install.sh``, ``setup.py``); the lists
are data, so that a reviewer can read them at once.

Sources: ISO 3166-1 alpha-2 (country codes); IANA root zone, the larger generic domains;
RFC 2606, RFC 6761, RFC 6762 appendix G (special and private names); Elastic Common
Schema 8, Suricata, Wazuh, CEF and Windows Security event field names.
"""

from __future__ import annotations

import functools
import re
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_COUNTRIES: Final = (
    "ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi "
    "bj bm bn bo br bs bt bw by bz ca cc cd cf cg ch ci ck cl cm cn co cr cu cv "
    "cw cx cy cz de dj dk dm do dz ec ee eg er es et eu fi fj fk fm fo fr ga gd "
    "ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il "
    "im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc "
    "li lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu "
    "mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl "
    "pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sk sl sm sn "
    "so sr ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz "
    "ua ug uk us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw"
)
_GENERIC: Final = (
    "com org net edu gov mil int arpa info biz name pro aero coop museum jobs "
    "mobi travel tel cat asia post xxx academy accountants agency ai app art "
    "associates auction audio band bank bar beauty beer best bet bid bike bio "
    "black blog blue boo bot boutique box build builders business buzz bzh cab "
    "cafe cam camera camp capital car cards care careers casa cash casino center "
    "ceo cfd charity chat cheap church city claims cleaning click clinic clothing "
    "cloud club coach codes coffee college community company computer condos "
    "construction consulting contact contractors cooking cool country coupons "
    "courses credit cricket cruises cyou dance date dating day deals degree "
    "delivery democrat dental design dev diamonds diet digital direct directory "
    "discount doctor dog domains download earth eco education email energy "
    "engineer engineering enterprises equipment estate events exchange expert "
    "exposed express fail faith family fan farm fashion finance financial fish "
    "fit fitness flights florist flowers foo football forsale foundation fund "
    "furniture fyi gallery game games garden gift gifts gives glass global gmbh "
    "gold golf google graphics gratis green group guide guru health healthcare "
    "help hiphop hockey holdings holiday homes horse hospital host hosting hotel "
    "house how icu immo immobilien inc industries ink institute insurance insure "
    "international investments irish jetzt jewelry kim kitchen kiwi land law "
    "lawyer lease legal lgbt life lighting limited limo link live llc loan loans "
    "lol london love ltd luxury maison management market marketing mba media "
    "melbourne memorial men menu microsoft moda moe mom money monster mortgage "
    "moscow movie network new news ngo ninja nyc observer online organic ovh page "
    "paris partners parts party pet pharmacy photo photography photos pics "
    "pictures pink pizza place plumbing plus poker porn press productions prof "
    "promo properties property quest racing realty recipes red rehab reise rent "
    "rentals repair report republican rest restaurant review reviews rich rip "
    "rocks rodeo run sale salon sarl school schule science secure security "
    "services sexy shoes shop shopping show singles site ski skin soccer social "
    "software solar solutions space sport store storage stream studio study style "
    "supplies supply support surf surgery sydney systems tax taxi team tech "
    "technology tennis theater tickets tienda tips tires tirol today tokyo tools "
    "top tours town toys trade trading training tube university uno vacations "
    "vegas ventures versicherung vet viajes video villas vin vip vision vote "
    "voyage wang watch webcam website wedding wiki win wine work works world wtf "
    "xyz yoga zone berlin hamburg koeln bayern wien swiss amsterdam barcelona"
)
_PRIVATE: Final = (
    "local localdomain localhost lan corp home internal intranet intra private "
    "domain example test invalid onion ad ads dmz vpn workgroup cluster consul "
    "svc"
)
_TOP_LEVEL: Final = _words(f"{_COUNTRIES} {_GENERIC} {_PRIVATE}")

_FILE_ENDINGS: Final = frozenset(
    ["sh", "py", "so", "md", "pm", "am", "ac", "la", "mk", "cat", "cab", "zip", "mov"]
)
"""Top-level domains whose two-part names are taken for files."""

_FIELD_ROOTS: Final = _words(
    "user host event process agent client server source destination file dns url "
    "http network rule tls observer service log error geo os device container "
    "cloud registry dll hash related threat input ecs data fields metadata system "
    "group"
)
"""First parts of dotted field names, such as ``user.id`` and ``host.name``."""
_FIELD_ENDS: Final = frozenset(["id", "name", "info", "local", "domain", "services"])
_PACKAGE_ROOTS: Final = _words("com org net io java javax jdk sun")

_USERS: Final = (
    "user username usr login loginname logname ruser luser srcuser dstuser suser "
    "duser sourceuser destuser destinationuser targetuser acct account "
    "accountname targetusername subjectusername samaccountname principal owner "
    "uname remoteuser clientuser effectiveuser realuser logonaccount logonname "
    "member membername requester sender recipient actor performedby createdby "
    "runas byuser xuser sasluser saslusername authid ftpuser dbuser ownername uid "
    "cn givenname surname displayname fullname userprincipalname upn"
)
_HOSTS: Final = (
    "host hostname shost dhost srchost dsthost sourcehost destinationhost rhost "
    "remotehost computer computername workstation workstationname machine "
    "machinename devicename devname server servername sni fqdn domain dnshostname "
    "nodename client clientname peer helo netbiosname relay agentname sensor "
    "sensorname gateway dntdom sntdom shostname dhostname vhost site query "
    "queryname rrname beathostname collector dvchost asset assetname"
)
_ACCOUNTS: Final = (
    "accountdomain targetdomainname subjectdomainname accountrealm userdomain "
    "ntdomain logondomain dntuser"
)
_SECRETS: Final = (
    "password passwd passphrase passcode pwd pass secret token apikey accesskey "
    "secretkey authtoken clientsecret privatekey credential credentials sessionid "
    "session cookie setcookie xapikey pin otp sessiontoken sharedsecret psk "
    "authkey accountkey bearer jwt refreshtoken accesstoken idtoken csrftoken "
    "xauthtoken secretaccesskey connectionstring community"
)
_PHONES: Final = "phone tel telephone mobile fax cell msisdn phonenumber callerid"
_KINDS: Final = {
    word: kind
    for kind, words in (
        ("user", _USERS),
        ("host", _HOSTS),
        ("account", _ACCOUNTS),
        ("secret", _SECRETS),
        ("phone", _PHONES),
    )
    for word in words.split()
}
_SECRET_PART: Final = re.compile(
    "passw|passphrase|passcode|secret|apikey|accesskey|privatekey|credential|authtoken"
    "|sessionid|accesstoken|(?:auth|access|refresh|bearer|api|csrf|session)token$|pwd$"
)
_NO_LETTERS: Final = re.compile(r"[^0-9a-z]")

_PLAIN: Final = _words(
    "a about access account accounts action activity added address "
    "after agent already also an and any are as at attempt attempts auth "
    "authenticated authentication authorization be been before blocked by can "
    "cannot changed check class close closed command config configuration "
    "connected connection context could create created credentials data database "
    "defined deleted denied did directory disabled does domain down enabled entry "
    "error exec executed exists expired failed failure file for found from group "
    "had has have home id if in info input interface invalid is it key keys limit "
    "list locked logged login logins logoff logon logout lookup machine mail "
    "management may message mode must name named names needs new no none not null "
    "of off on only operation option or out owner param parameter password "
    "permission permissions policy port process profile provided quota ready "
    "record removed request required requested response right rights role rule "
    "said service session sessions set settings shell should side space started "
    "state status stopped successfully such supplied switched system tables than "
    "that the their then there this time timeout to token tried true type unknown "
    "unreachable until up updated using utility value via wait was welcome which "
    "while who will with within without would yes you your header headers manager "
    "mismatch false resolved verification failures prefix part fields field based "
    "level friendly interaction land memory agents"
)
_NO_SECRET: Final = _words(
    "authentication required changed change expired none null no yes true false "
    "failed failure incorrect wrong invalid missing empty not for is was set "
    "reset the has from by to and or on user unknown accepted rejected ok check "
    "checking opened closed started ended hidden redacted"
)


@functools.lru_cache(maxsize=16_384)
def is_domain(name: str, suffixes: frozenset[str] = frozenset()) -> bool:
    """Return whether a word with dots names a host or a domain.

    Args:
        name: the word, without a dot at its end.
        suffixes: last labels the organisation uses inside, in lower case.
    """
    labels = name.lower().split(".")
    last = labels[-1]
    if len(labels) < 2 or not all(labels):
        return False
    if last in suffixes:
        return True
    if last not in _TOP_LEVEL and not last.startswith("xn--"):
        return False
    if labels[0] in _PACKAGE_ROOTS and last not in _PACKAGE_ROOTS and len(labels) > 2:
        return False
    if labels[0] in _FIELD_ROOTS and last in _FIELD_ENDS:
        return False
    if len(labels) == 2:
        if last in _FILE_ENDINGS:
            return False
        written = name.rpartition(".")[2]
        if written[0].isupper() and not written.isupper():
            return False  # System.Net, Socket.Io
        return not labels[0].isdigit()
    return True


@functools.lru_cache(maxsize=8_192)
def kind_of_key(key: str) -> str:
    """Return what a field of that name holds, or an empty text.

    Args:
        key: a field's name in any spelling: ``user_name``, ``userName``, ``user.name``.
    """
    plain = _NO_LETTERS.sub("", key.lower())
    kind = _KINDS.get(plain)
    if kind is not None:
        return kind
    last = _KINDS.get(_NO_LETTERS.sub("", re.split(r"[.]", key.lower())[-1]), "")
    if last:
        return last
    return "secret" if _SECRET_PART.search(plain) else ""


def is_plain_word(word: str) -> bool:
    """Return whether a word where a name could stand is no name."""
    return word.lower() in _PLAIN


def is_no_secret(word: str) -> bool:
    """Return whether a word after "password:" and the like is no secret."""
    return word.lower() in _NO_SECRET
