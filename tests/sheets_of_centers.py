"""Sheets as centers would send them, each with its reading by hand."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sent:
    """A sheet: its bytes, its visits as (id, patient, start, minutes, status, how), where there is a problem, what is asked."""

    raw: bytes
    visits: list[tuple]
    problems: list[tuple[str, str | None]] = ()
    asked: list[str] = ()
    phones: dict[str, str | None] | None = None
    name: str = "sheet.csv"


SIMPLE_PRACTICE = Sent(
    (
        "Client,Clinician,Date of Service,Start Time,End Time,Duration,Service,Location,Appointment Status\r\n"
        '"Alvarez, Jordan",A. Reyes,12/03/2026,3:00 PM,3:50 PM,50,Individual therapy,Video Office,Show\r\n'
        '"Brook, Sam",A. Reyes,12/14/2026,10:00 AM,11:30 AM,90,Group therapy,Oak Street,Show\r\n'
        '"Cole, Ana",A. Reyes,12/15/2026,12:00 PM,12:50 PM,50,Individual therapy,Oak Street,Late Cancelled\r\n'
        '"Dunn, Lee",A. Reyes,12/16/2026,9:00 AM,9:50 AM,50,Individual therapy,Oak Street,No Show\r\n'
        '"Egan, Pat",A. Reyes,12/17/2026,9:00 AM,9:50 AM,50,Individual therapy,Oak Street,Cancelled\r\n'
    ).encode("utf-8-sig"),
    [
        (None, "Alvarez, Jordan", "2026-12-03T15:00", 50, "booked", "video"),
        (None, "Brook, Sam", "2026-12-14T10:00", 90, "booked", "in_person"),
        (None, "Cole, Ana", "2026-12-15T12:00", 50, "cancelled", "in_person"),
        (None, "Dunn, Lee", "2026-12-16T09:00", 50, "missed", "in_person"),
        (None, "Egan, Pat", "2026-12-17T09:00", 50, "cancelled", "in_person"),
    ],
)

# Statuses are each center's own words; "Awaiting UR" is one that no one knows.
KIPU = Sent(
    (
        "Appointment ID|MR Number|Patient Name|Start|End|Type|Status|Provider|Updated At\n"
        "88101|2026-114|Jordan Alvarez|2026-12-03T15:00:00-05:00|2026-12-03T15:50:00-05:00|Individual|Scheduled|Dr. Lee|2026-11-30T10:00:00Z\n"
        "88102|2026-115|Sam Brook|2026-12-03T21:00:00Z|2026-12-03T22:30:00Z|Group|Confirm|Dr. Lee|2026-11-30T10:00:00Z\n"
        "88103|2026-116|Ana Cole|2026-12-04T09:00:00-05:00|2026-12-04T09:30:00-05:00|Med Management|Rescheduled|Dr. Wu|2026-11-30T10:00:00Z\n"
        "88104|2026-117|Lee Dunn|2026-12-04T10:00:00-05:00|2026-12-04T10:30:00-05:00|Individual|Awaiting UR|Dr. Wu|2026-11-30T10:00:00Z\n"
        "88101|2026-114|Jordan Alvarez|2026-12-03T16:00:00-05:00|2026-12-03T16:50:00-05:00|Individual|Scheduled|Dr. Lee|2026-12-01T09:00:00Z\n"
    ).encode(),
    [
        ("88102", "2026-115", "2026-12-03T16:00", 90, "booked", "in_person"),
        ("88103", "2026-116", "2026-12-04T09:00", 30, "cancelled", "in_person"),
        ("88101", "2026-114", "2026-12-03T16:00", 50, "booked", "in_person"),
    ],
    asked=["status"],
)

THERAPY_NOTES = Sent(
    (
        "Oak Street Counseling;;;;;\n"
        "Appointments 12/1/2026 - 12/31/2026;;;;;\n"
        ";;;;;\n"
        "Patient;Date;Time;Type;Clinician;Status\n"
        "Jordan Alvarez;Thursday, December 3, 2026;3:00 PM - 3:50 PM;Therapy Session;A. Reyes;Scheduled\n"
        ";;;;;\n"
        "Sam Brook;Friday, December 4, 2026;9:00 AM - 10:00 AM;Therapy Intake (telehealth);A. Reyes;Completed\n"
        "Ana Cole;Saturday, December 4, 2026;9:00 AM - 10:00 AM;Therapy Session;A. Reyes;Scheduled\n"
        "Total: 3 appointments;;;;;\n"
        "Printed 12/1/2026 8:15 AM by A. Reyes;;;;;\n"
    ).encode("cp1252"),
    [
        (None, "Jordan Alvarez", "2026-12-03T15:00", 50, "booked", "in_person"),
        (None, "Sam Brook", "2026-12-04T09:00", 60, "attended", "video"),
    ],
    problems=[("row 8", "Date")],
)

# The header has a typing error, and an id is negative until check-in.
WEBPT = Sent(
    (
        "appointmnet_id,parent_appointment_id,patient_id,patient_first_name,patient_last_name,start_datetime,duration,status\n"
        "-5021,,771,Jordan,Alvarez,2026-12-03 15:00:00,45,Active\n"
        "5022,,772,Sam,Brook,2026-12-03 16:00:00,45,Inactive\n"
        "5023,,772,Sam,Brook,2026-12-08 16:00:00,45,Active\n"
        "5023,,773,Ana,Cole,2026-12-08 16:00:00,45,Active\n"
    ).encode(),
    [
        ("-5021", "771", "2026-12-03T15:00", 45, "booked", "in_person"),
        ("5022", "772", "2026-12-03T16:00", 45, "cancelled", "in_person"),
    ],
    problems=[("row 4", "appointmnet_id"), ("row 5", "appointmnet_id")],
)

ATHENA = Sent(
    (
        "apptdate,apptstarttime,patientid,patient_firstname,patient_lastname,patientdob,patient_email,patient_homephone,patient_mobile,rndrng_prvdr\n"
        "12/03/2026,03:00 PM,1042,JORDAN,ALVAREZ,05/17/1994,j@example.com,(202) 555-0144,(202) 555-0143,LEE_A\n"
        "12/04/2026,09:15 AM,1043,SAM,BROOK,11/02/1988,,(202) 555-0145,202-555-01,LEE_A\n"
        "12/04/2026,,1044,ANA,COLE,01/30/1990,,,,LEE_A\n"
    ).encode(),
    [
        (None, "1042", "2026-12-03T15:00", None, "booked", "in_person"),
        (None, "1043", "2026-12-04T09:15", None, "booked", "in_person"),
    ],
    problems=[("row 4", "apptstarttime")],
    phones={"1042": "+12025550143", "1043": "+12025550145"},
)

HAND_MADE = Sent(
    (
        "Name\tCell\tAppt Date\tTime\tWith\tNotes\n"
        "Jordan A.\t2025550143.0\t12/3/26\t3p\tDr. Lee\tlikes mornings\n"
        "Sam B.\t'2025550144\t12/13/26\tnoon\tDr. Lee\t\n"
        "Ana C.\t2.03E+09\t12/14/26\t1300\tDr. Wu\t\n"
        "Lee D.\t202-555-0145 / 202-555-0146\t12/14/26\t6:30 pm\tDr. Wu\t\n"
        "Pat E.\t555-0147\t12/15/26\t9:30 am\tDr. Wu\t\n"
        "Kim F.\t202.555.0148 x12\t12/15\t9:30 am\tDr. Wu\t\n"
        "Max G.\tcall his mom\t12/15/26\t\tDr. Wu\t\n"
    ).encode("utf-16"),
    [
        (None, "Jordan A.", "2026-12-03T15:00", None, "booked", "in_person"),
        (None, "Sam B.", "2026-12-13T12:00", None, "booked", "in_person"),
        (None, "Ana C.", "2026-12-14T13:00", None, "booked", "in_person"),
        (None, "Lee D.", "2026-12-14T18:30", None, "booked", "in_person"),
        (None, "Pat E.", "2026-12-15T09:30", None, "booked", "in_person"),
    ],
    problems=[("row 4", "Cell"), ("row 5", "Cell"), ("row 6", "Cell"), ("row 7", "Appt Date"), ("row 8", "Time")],
    phones={"Jordan A.": "+12025550143", "Sam B.": "+12025550144", "Ana C.": None, "Lee D.": None, "Pat E.": None},
)

SPANISH = Sent(
    (
        "Expediente;Nombre;Apellidos;Teléfono celular;Fecha de la cita;Hora;Duración;Tipo de cita;Estado;Idioma\r"
        "A-17;José;Núñez;202 555 0143;14/12/2026;6:00 p. m.;50;Terapia individual;Confirmada;Español\r"
        "A-18;Luz;Peña;+1 202 555 0144;03/12/2026;9:30 a.m.;90;Terapia grupal;Programada;Español\r"
        "A-19;Ana;Gil;202 555 0145;15/12/2026;mediodía;50;Terapia individual;Cancelada por el paciente;Español\r"
        "A-20;Eva;Sáez;202 555 0146;16/12/2026;5:00 de la tarde;50;Psiquiatría;No asistió;Español\r"
        "A-21;Paz;Ruiz;202 555 0147;17/12/2026;10:00 a. m.;50;Terapia individual;Reprogramada;Español\r"
    ).encode("cp1252"),
    [
        (None, "A-17", "2026-12-14T18:00", 50, "booked", "in_person"),
        (None, "A-18", "2026-12-03T09:30", 90, "booked", "in_person"),
        (None, "A-19", "2026-12-15T12:00", 50, "cancelled", "in_person"),
        (None, "A-20", "2026-12-16T17:00", 50, "missed", "in_person"),
        (None, "A-21", "2026-12-17T10:00", 50, "cancelled", "in_person"),
    ],
)

WEBCHART = Sent(
    (
        "patient.partition,patient.MRN,sched.Resource,sched.Start Date,sched.End Date,sched.Duration,sched.Reason,sched.Location,sched.Canceled\n"
        "MIE,10019,LEE,20261203 150000,20261203 155000,3000,detox follow-up,Main,0\n"
        "MIE,10020,LEE,20261203 160000,20261203 163000,1800,detox follow-up,Main,1\n"
        "MIE,10021,LEE,20261203 170000,20261203 173000,1800,detox follow-up,Main,2\n"
    ).encode(),
    [
        (None, "10019", "2026-12-03T15:00", 50, "booked", "in_person"),
        (None, "10020", "2026-12-03T16:00", 30, "cancelled", "in_person"),
        (None, "10021", "2026-12-03T17:00", 30, "missed", "in_person"),
    ],
)

CANVAS = Sent(
    (
        "ID|Patient Identifier|Appointment Type|Start Datetime|End Datetime|Duration|Provider|Status\n"
        "a1f|p-9|Office visit|2026-12-03T20:00:00+00:00|2026-12-03T20:30:00+00:00|30|Lee|booked\n"
        "a2f|p-9|Telehealth|2026-06-03T20:00:00+00:00|2026-06-03T20:30:00+00:00|30|Lee|fulfilled\n"
    ).encode(),
    [
        ("a1f", "p-9", "2026-12-03T15:00", 30, "booked", "in_person"),
        ("a2f", "p-9", "2026-06-03T16:00", 30, "attended", "video"),
    ],
)

BEST_NOTES = Sent(
    (
        "APPTTYPE\tAPPTSTART\tAPPTEND\tPROVIDER\tCID\tSUBJECT\tNOTES\n"
        "Individual\t11/23/2026 9:00 AM\t11/23/2026 9:50 AM\tA Reyes\t311\tprivate words\tfirst#BNCR#second\n"
        "Phone call\t11/24/2026 1:00 PM\t11/24/2026 1:15 PM\tglobal\t312\t\t\n"
    ).encode(),
    [
        (None, "311", "2026-11-23T09:00", 50, "booked", "in_person"),
        (None, "312", "2026-11-24T13:00", 15, "booked", "phone"),
    ],
)

# It has DD/MM/YYYY and a permission column, which is no consent.
ATT = Sent(
    (
        "Mobile,PermissionToSendSMS,FirstName,LastName,Home,Work,Email,AppointmentDate,AppointmentTime,LocationName\n"
        "2025550143,1,Jordan,Alvarez,,2025550199,,03/12/2026,15:30,Oak Street\n"
        ",1,Sam,Brook,2025550145,,,14/12/2026,09:00,Oak Street\n"
    ).encode(),
    [
        (None, "Jordan Alvarez", "2026-12-03T15:30", None, "booked", "in_person"),
        (None, "Sam Brook", "2026-12-14T09:00", None, "booked", "in_person"),
    ],
    phones={"Jordan Alvarez": "+12025550143", "Sam Brook": "+12025550145"},
)

TWO_HEADER_ROWS = Sent(
    (
        "Weekly schedule,,,,,,\n"
        "Patient,,Emergency Contact,,Appointment,,\n"
        "ID,Name,Name,Phone,Date,Time,Status\n"
        "7,Jordan Alvarez,Kim Alvarez,202-555-0150,12/21/2026,15:00,Scheduled\n"
        "8,Sam Brook,Lou Brook,202-555-0151,12/22/2026,9:00,Scheduled\n"
        "ID,Name,Name,Phone,Date,Time,Status\n"
        "9,Ana Cole,Bo Cole,202-555-0152,12/23/2026,3:00,Scheduled\n"
    ).encode(),
    [
        (None, "7", "2026-12-21T15:00", None, "booked", "in_person"),
        (None, "8", "2026-12-22T09:00", None, "booked", "in_person"),
    ],
    asked=["clock"],
    phones={"7": None, "8": None},
)

AMBIGUOUS = Sent(
    b"MRN,Date,Time\n1,03/04/2027,3:00 PM\n2,05/05/2027,3:00 PM\n3,2027-03-04,3:00 PM\n4,04/05/2027,3:00 PM CST\n",
    [
        (None, "2", "2027-05-05T15:00", None, "booked", "in_person"),
        (None, "3", "2027-03-04T15:00", None, "booked", "in_person"),
    ],
    asked=["date_order", "zones"],
)

CONTRADICTORY = Sent(
    b"MRN,Date,Time\n1,03/04/2027,3:00 PM\n2,13/04/2027,3:00 PM\n3,04/14/2027,3:00 PM\n",
    [
        (None, "2", "2027-04-13T15:00", None, "booked", "in_person"),
        (None, "3", "2027-04-14T15:00", None, "booked", "in_person"),
    ],
    problems=[("file", None), ("row 2", "Date")],
)

QUOTED_LINES = Sent(
    b'MRN,Name,Date,Time,Comment\n1,"Jordan\nAlvarez",2026-12-03,3:00 PM,"two\r\nlines, and a comma"\n2,Sam,2026-12-04,12:00 AM,\n',
    [(None, "1", "2026-12-03T15:00", None, "booked", "in_person")],
    problems=[("row 3", "Time")],
)

ALL = {name: sent for name, sent in globals().items() if isinstance(sent, Sent)}
