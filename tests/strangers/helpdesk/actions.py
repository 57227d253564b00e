"""What happens at the desk, by helpdesk's own forms, views and functions, and by raw SQL."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from helpdesk.forms import TicketForm
from helpdesk.models import (
    Checklist,
    ChecklistTemplate,
    CustomField,
    FollowUpAttachment,
    KBCategory,
    KBItem,
    Queue,
    Ticket,
    TicketCustomFieldValue,
    TicketDependency,
)
from helpdesk.update_ticket import subscribe_to_ticket_updates, update_ticket

from tests.strangers.views import Actions

LEAST = 25
act = Actions()


def seed(ann: User, bob: User) -> None:
    """Open the desk."""
    User.objects.create_superuser("root")
    for title in ("Support", "Sales"):
        Queue.objects.create(
            title=title, slug=title.lower(), allow_public_submission=title == "Support"
        )
    CustomField.objects.create(name="device", label="Device", data_type="varchar", max_length=20)
    CustomField.objects.create(
        name="secret", label="Secret", data_type="varchar", max_length=20, staff_only=True
    )
    ann.is_staff = True
    ann.save()
    ann.user_permissions.add(right_to("support"))
    submit("Printer", "support", device="Laser")
    submit("Invoice", "sales")
    category = KBCategory.objects.create(
        name="Printers", title="All on printers", slug="printers", public=True, description="-"
    )
    for title in ("Jams", "Ink"):
        KBItem.objects.create(category=category, title=title, question="?", answer="!")


def right_to(slug: str) -> Any:
    return Permission.objects.get(codename=f"queue_access_{slug}")


def user_of(name: str) -> Any:
    return User.objects.get(username=name)


def ticket_of(title: str) -> Any:
    return Ticket.objects.get(title=title)


def submit(title: str, queue: str, file: Any = None, **custom: str) -> Any:
    """Fill in the form for staff."""
    key = Queue.objects.get(slug=queue).pk
    form = TicketForm(
        queue_choices=[(key, queue)],
        data={
            "queue": key,
            "title": title,
            "body": f"About: {title}",
            "priority": 3,
            "submitter_email": "customer@example.com",
            **{f"custom_{name}": value for name, value in custom.items()},
        },
        files={"attachment": file} if file else None,
    )
    assert form.is_valid(), form.errors
    return form.save(user=user_of("root"))


def browser(name: str) -> Client:
    """Return a browser in which somebody is logged in."""
    client = Client()
    client.force_login(user_of(name))
    return client


def post(name: str, path: str, **data: Any) -> None:
    """Send a form as somebody."""
    response = browser(name).post(path, data)
    assert response.status_code == 302, (path, response.status_code)


def sql(text: str, *arguments: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text, arguments)


@act
def a_ticket_is_filed() -> None:
    submit("Scanner", "support", device="Flatbed", secret="4711")


@act
def a_file_is_attached() -> None:
    submit("Cable", "support", SimpleUploadedFile("cable.txt", b"too short", "text/plain"))


@act
def a_visitor_files_a_ticket() -> None:
    response = Client().post(
        "/tickets/submit/",
        {
            "queue": Queue.objects.get(slug="support").pk,
            "title": "Mouse",
            "body": "It does not click",
            "priority": 2,
            "submitter_email": "visitor@example.com",
            "custom_device": "Mouse",
        },
    )
    assert response.status_code == 302, response.status_code


@act
def it_is_answered() -> None:
    update_ticket(
        user_of("ann"), ticket_of("Printer"), comment="Have you turned it on?", public=True
    )


@act
def it_is_noted_in_private() -> None:
    update_ticket(user_of("ann"), ticket_of("Printer"), comment="They have not.", public=False)


@act
def it_is_answered_with_a_file() -> None:
    update_ticket(
        user_of("ann"),
        ticket_of("Printer"),
        comment="See the picture",
        files=[SimpleUploadedFile("plug.png", b"\x89PNG", "image/png")],
        public=True,
        time_spent=timedelta(minutes=20),
    )


@act
def bob_is_let_into_sales_by_a_group() -> None:
    group = Group.objects.create(name="Sellers")
    group.permissions.add(right_to("sales"))
    group.user_set.add(user_of("bob"))


@act
def ann_is_let_into_sales() -> None:
    user_of("ann").user_permissions.add(right_to("sales"))


@act
def a_ticket_is_assigned() -> None:
    ticket = ticket_of("Scanner")
    update_ticket(user_of("ann"), ticket, owner=user_of("bob").pk, public=True)


@act
def a_ticket_is_taken_by_the_view() -> None:
    post("ann", "/tickets/update/", ticket_id=[ticket_of("Mouse").pk], action="take")


@act
def a_ticket_moves_to_another_queue() -> None:
    ticket = ticket_of("Cable")
    update_ticket(user_of("root"), ticket, queue=Queue.objects.get(slug="sales").pk, title="Cables")


@act
def a_ticket_is_put_on_hold() -> None:
    post("ann", f"/tickets/{ticket_of('Printer').pk}/hold/")


@act
def a_ticket_is_resolved() -> None:
    update_ticket(
        user_of("ann"),
        ticket_of("Printer"),
        comment="It was the plug",
        new_status=Ticket.RESOLVED_STATUS,
        public=True,
    )


@act
def it_is_reopened() -> None:
    ticket = ticket_of("Printer")
    update_ticket(user_of("ann"), ticket, new_status=Ticket.REOPENED_STATUS, priority=1)


@act
def a_ticket_waits_for_another() -> None:
    TicketDependency.objects.create(ticket=ticket_of("Printer"), depends_on=ticket_of("Mouse"))


@act
def what_it_waits_for_is_closed() -> None:
    post("ann", "/tickets/update/", ticket_id=[ticket_of("Mouse").pk], action="close_public")


@act
def bob_is_in_copy() -> None:
    subscribe_to_ticket_updates(ticket_of("Invoice"), user_of("bob").pk)
    subscribe_to_ticket_updates(ticket_of("Invoice"), email="other@example.com")


@act
def custom_values_change() -> None:
    ticket_of("Scanner").save_custom_field_values({"custom_device": "Drum", "custom_secret": "1"})


@act
def a_custom_field_becomes_staff_s() -> None:
    CustomField.objects.filter(name="device").update(staff_only=True)


@act
def and_is_public_again_by_raw_sql() -> None:
    sql("UPDATE helpdesk_customfield SET staff_only = %s, label = 'Thing'", False)


@act
def tickets_are_merged() -> None:
    printer, scanner = ticket_of("Printer"), ticket_of("Scanner")
    post(
        "ann",
        f"/tickets/merge?tickets={printer.pk}&tickets={scanner.pk}",
        chosen_ticket=printer.pk,
        title=printer.pk,
        assigned_to=scanner.pk,
        device=scanner.pk,
    )


@act
def a_list_is_made_of_a_template() -> None:
    template = ChecklistTemplate.objects.create(name="First aid", task_list=["Look", "Ask", "Fix"])
    checklist = Checklist.objects.create(ticket=ticket_of("Printer"), name=template.name)
    checklist.create_tasks_from_template(template)


@act
def tasks_are_done() -> None:
    checklist = Checklist.objects.get()
    done = set(checklist.tasks.order_by("position").values_list("pk", flat=True)[:2])
    update_ticket(user_of("ann"), checklist.ticket, new_checklists={checklist.pk: done})


@act
def bob_joins_staff() -> None:
    User.objects.filter(username="bob").update(is_staff=True)


@act
def ann_leaves_staff() -> None:
    User.objects.filter(username="ann").update(is_staff=False)


@act
def the_knowledge_base_is_voted_on() -> None:
    item = KBItem.objects.get(title="Jams")
    for name, vote in (("ann", "up"), ("bob", "down")):
        response = browser(name).post(f"/kb/{item.pk}/vote/{vote}/")
        assert response.status_code == 302, response.status_code


@act
def a_ticket_is_about_an_item() -> None:
    Ticket.objects.filter(title="Invoice").update(kbitem=KBItem.objects.get(title="Ink"))


@act
def a_category_is_closed() -> None:
    KBCategory.objects.update(public=False)


@act
def a_queue_is_renamed_by_raw_sql() -> None:
    sql("UPDATE helpdesk_queue SET title = 'All sales', slug = 'all' WHERE slug = 'sales'")


@act
def a_queue_is_closed_to_the_public() -> None:
    queue = Queue.objects.get(slug="support")
    queue.allow_public_submission = False
    queue.escalate_days = 1
    queue.save()


@act
def old_tickets_are_escalated() -> None:
    Ticket.objects.update(created=timezone.now() - timedelta(days=9))
    call_command("escalate_tickets")


@act
def ann_is_let_into_support_no_more() -> None:
    user_of("ann").user_permissions.remove(right_to("support"))


@act
def a_group_loses_its_right() -> None:
    Group.objects.get(name="Sellers").permissions.clear()


@act
def bob_rules() -> None:
    User.objects.filter(username="bob").update(is_superuser=True)


@act
def an_attachment_goes() -> None:
    FollowUpAttachment.objects.get(filename="plug.png").delete()


@act
def what_is_rolled_back_is_not_seen() -> None:
    with transaction.atomic():
        TicketCustomFieldValue.objects.all().delete()
        Ticket.objects.update(title="gone")
        transaction.set_rollback(True)


@act
def a_ticket_is_deleted_by_the_view() -> None:
    post("bob", f"/tickets/{ticket_of('Invoice').pk}/delete/")


@act
def tickets_are_deleted_in_bulk_by_the_view() -> None:
    keys = list(Ticket.objects.filter(title__in=["Mouse", "Cables"]).values_list("pk", flat=True))
    post("bob", "/tickets/update/", ticket_id=keys, action="delete")


@act
def a_queue_goes_with_its_tickets() -> None:
    Queue.objects.get(slug="support").delete()
